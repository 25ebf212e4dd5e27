"""What a checkout needs before and while a container works on it: preparation, and git's folders."""
