"""Quality diversity for hybridopt, through pyribs (https://pyribs.org)."""
