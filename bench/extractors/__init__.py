"""Extractors without learned weights: TFP and TFI."""
