// The C interface, as it is.
@_exported import CParing
