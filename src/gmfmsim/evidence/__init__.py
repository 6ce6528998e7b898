"""What was reported: tables of results, read, validated and turned into effects with their covariance."""
