"""Where a checkout of Dynamo renders its Dockerfile."""
