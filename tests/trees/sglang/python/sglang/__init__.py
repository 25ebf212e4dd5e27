"""SGLang's package, without its Python."""
