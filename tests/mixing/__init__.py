"""Many cgroups at once, each with calls that only it makes: no record has another's."""
