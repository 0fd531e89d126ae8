"""What results are judged by."""
