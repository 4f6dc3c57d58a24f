"""Installs what a target of the Makefile needs, and goes on where a broken set-up stopped.

Only the standard library is imported: this runs before anything is installed.
"""
