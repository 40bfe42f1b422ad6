"""What is heard on AIS, and what it says about the contacts that cameras found."""
