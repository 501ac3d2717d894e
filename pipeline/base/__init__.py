"""What every stage builds on: errors, files, manifests, shards with their edits, executors, and the records of a build."""
