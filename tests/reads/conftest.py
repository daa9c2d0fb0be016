from tests.reads import standin

standin.install()
