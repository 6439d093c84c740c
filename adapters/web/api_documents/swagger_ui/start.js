// A file of its own: the page's policy runs no script that stands in the page.
window.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#routes",
    deepLinking: true,
    docExpansion: "list",
    validatorUrl: null,
  });
});
