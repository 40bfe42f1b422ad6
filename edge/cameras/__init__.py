"""Camera inputs: from whatever a user's camera speaks to frames with an honest time, watched for faults."""
