"""The commands. Nothing heavy is imported before a command runs: `--help` answers at once."""

from __future__ import annotations

import sys

from connector.errors import ConnectorError


def main() -> None:
    """Run the command line; a user's mistake ends in a message and an exit code, not a trace."""
    from connector.cli.app import app

    try:
        app()
    except ConnectorError as error:
        sys.stderr.write(f"error: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing is lost, run it again to go on\n")
        raise SystemExit(130) from None
