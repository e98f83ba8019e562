"""Parts that several plugins share; public, as the contracts are."""
