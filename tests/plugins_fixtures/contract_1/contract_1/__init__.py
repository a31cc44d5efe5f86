"""A plugin as authors wrote it against version 1 of the plugin contract, with every hook and every kind.

It is not to be changed: what runs it must. Where it no longer can, the contract has broken, and
`gadkit.component.API_VERSION` grows.
"""
