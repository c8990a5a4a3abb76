"""Does a study learn at the defaults of `plan init`? Eleven studies of different kinds, alone, federated and pooled."""
