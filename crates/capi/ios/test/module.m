// That the header is a module: checked for syntax only.
@import CParing;

paring_status opened(const char *path, struct paring_model **model);
paring_status opened(const char *path, struct paring_model **model) {
  paring_tensor nothing = {0};
  (void)nothing;
  return paring_model_load_file(path, NULL, model);
}
