"""The published weights: which files they are, fetching them, converting them, and what lies in a folder."""
