"""What the documentation's site is made of beside `docs/`: pages of other folders, and tables."""
