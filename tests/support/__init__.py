"""What the tests of the store, the services, the worker and the commands share."""
