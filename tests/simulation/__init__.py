"""The whole pipeline in one thread: the services' own code over modelled databases, broker, cloud and time."""
