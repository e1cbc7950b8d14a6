"""Patient to atlas: the registration, how good it is, where the outlines come to lie."""
