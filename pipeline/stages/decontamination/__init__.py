"""Find evaluation items in the text, and drop the documents or cut the passages that hold them."""
