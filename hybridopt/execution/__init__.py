"""One run: a trial, what surrounds it, and what lies in its directory."""
