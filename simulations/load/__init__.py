"""The coordinator under load: a real `covey serve` on loopback, a swarm of embedded nodes, and stock Flower beside it."""
