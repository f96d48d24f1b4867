"""The networks that a recipe can name, all with one contract; see :class:`unmask.train.networks.base.Network`."""
