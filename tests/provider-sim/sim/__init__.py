"""The scripted provider: the only simulated thing among the tests."""
