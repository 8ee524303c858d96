"""From recorded weights to entropy, temperature and free energy. Nothing is imported until it is asked for."""
