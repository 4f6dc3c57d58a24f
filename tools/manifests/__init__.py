"""What runs on Kubernetes, held against schemas and policies without one, and what it takes."""
