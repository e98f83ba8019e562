"""What is claimed of hybridopt's single methods, as studies that say whether it holds."""
