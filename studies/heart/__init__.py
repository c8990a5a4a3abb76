"""Heart disease at four hospitals: the UCI data, by the protocol of FLamby."""
