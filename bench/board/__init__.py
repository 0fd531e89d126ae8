"""Submissions of runs as archives, their verification, and a leaderboard of them as a static site."""
