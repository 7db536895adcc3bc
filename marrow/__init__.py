"""The floor that viewer and worker share: words, images, catalogue, queue. No Qt, no torch."""
