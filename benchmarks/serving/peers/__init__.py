"""What the served release is measured against: the case study's layout and the floor."""
