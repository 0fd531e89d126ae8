"""DCVC-DC (Li, Li and Lu, CVPR 2023): conditional video coding with diverse contexts."""
