"""The product as it ships: real processes, real servers, real clients."""
