"""What a person at a terminal sees and can stop."""
