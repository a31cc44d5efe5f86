"""`gadkit plugins`: which components there are, who offers them, and packages in and out of gadkit's environment."""

from __future__ import annotations

import typer

from gadkit.cli.plugins_check import check
from gadkit.cli.plugins_docs import docs
from gadkit.cli.plugins_install import install, uninstall
from gadkit.cli.plugins_list import list_
from gadkit.cli.plugins_new import new
from gadkit.cli.plugins_show import show
from gadkit.cli.plugins_switch import disable, enable

plugins_app = typer.Typer(no_args_is_help=True, help="List, describe, install, check and write plugins.")

plugins_app.command("list")(list_)
plugins_app.command("show")(show)
plugins_app.command("docs")(docs)
plugins_app.command("install")(install)
plugins_app.command("uninstall")(uninstall)
plugins_app.command("enable")(enable)
plugins_app.command("disable")(disable)
plugins_app.command("check")(check)
plugins_app.command("new")(new)
