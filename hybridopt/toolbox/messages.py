"""Parts of error messages: the names there are, and what another library said."""

from hybridopt.errors import brief, options

__all__ = ["brief", "options"]
