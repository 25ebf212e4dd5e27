"""`devbox image build`: from a framework, a checkout and a request to builds, and these carried out."""
