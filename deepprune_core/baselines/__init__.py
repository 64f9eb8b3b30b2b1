"""What DeepPrune is compared with, each behind a small function of its own."""
