"""From what is stored to what is published: drafts, names, objects, and the loop that writes them."""
