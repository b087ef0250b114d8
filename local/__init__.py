"""What runs on one machine without anything installed: genuine Kafka and PostgreSQL, the stack, the cloud emulator."""
