"""How the embedded model and its heads were trained and evaluated."""
