"""What is generated from solutions: stubs, lessons, notebooks, kits, bundles."""
