"""Denials as an agent tells them, for tests of what is made of them."""

from recorder.model.denial import AppArmorDenial, DenialCount, DenialKey, SelinuxDenial, Sighting, Text


def text(content: bytes) -> Text:
    """A text that is whole."""
    return Text(content, len(content))


def apparmor(
    name: bytes = b"/etc/shadow", verdict: str = "denied", *, operation: str = "open", mask: str = "write"
) -> DenialKey:
    """A file that AppArmor denied to docker-default."""
    details = AppArmorDenial(
        operation=operation,
        object_class="file",
        profile=text(b"docker-default"),
        namespace=Text(),
        complain=False,
        requested=(mask,),
        denied=(mask,),
        name=text(name),
        target=Text(),
        peer=Text(),
        info=Text(),
        error=-13,
    )
    return DenialKey(verdict, details)


def selinux(name: bytes = b"/etc/shadow", verdict: str = "denied") -> DenialKey:
    """A file that SELinux denied to container_t."""
    details = SelinuxDenial(
        source=text(b"u:r:container_t:s0"),
        target=text(b"u:object_r:shadow_t:s0"),
        object_class="file",
        permissions=("read", "open"),
        permissive=False,
        name=text(name),
    )
    return DenialKey(verdict, details)


REST = DenialKey("rest", None)


def counted(count: int = 1, first: int = 100, last: int = 200, comm: bytes = b"cat") -> DenialCount:
    """So often, between two times."""
    return DenialCount(count, Sighting(first, 7, comm), Sighting(last, 8, comm))
