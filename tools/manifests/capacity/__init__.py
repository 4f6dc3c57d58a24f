"""What a shop of a size takes: measured figures, arithmetic, and the page that tells it."""
