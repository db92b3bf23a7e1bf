"""Bad models whose weights lie in files of their own."""

import os

from bad_case import T, case, with_weight


def external(**entries):
    t = T(name="w", data_type=T.FLOAT, data_location=T.EXTERNAL)
    t.dims.extend([2, 3])
    for key, text in entries.items():
        t.external_data.add(key=key, value=text)
    return with_weight(t)


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


@case(4, r"node 'add' .*cannot open external data 'gone\.bin': No such file")
def external_missing(_):
    return external(location="gone.bin")


@case(1, r"needs bytes 0\.\.24 of external data 'short\.bin', which has only 10")
def external_short(folder):
    write(folder, "short.bin", bytes(10))
    return external(location="short.bin")


@case(1, r"needs bytes 18446744073709551614\.\.|which has only 24")
def external_offset_overflow(folder):
    write(folder, "full.bin", bytes(24))
    return external(location="full.bin", offset=str(2**64 - 2))


@case(1, r"external length 12, but its shape needs 24 bytes")
def external_length(folder):
    write(folder, "full.bin", bytes(24))
    return external(location="full.bin", length="12")


@case(1, r"external offset '-4' is not a number")
def external_offset_sign(folder):
    write(folder, "full.bin", bytes(24))
    return external(location="full.bin", offset="-4")


@case(1, r"external data '\.\./secret\.bin' lies outside the model's folder")
def external_parent(folder):
    write(os.path.dirname(folder), "secret.bin", bytes(24))
    return external(location="../secret.bin")


@case(1, r"external data 'sub/\.\./\.\./secret\.bin' lies outside")
def external_parent_inside(folder):
    os.mkdir(os.path.join(folder, "sub"))
    return external(location="sub/../../secret.bin")


@case(1, r"external data '/etc/hostname' lies outside the model's folder")
def external_absolute(_):
    return external(location="/etc/hostname")


@case(4, r"cannot open external data 'link\.bin': .*symbolic links are refused unless --follow-links")
def external_symlink(folder):
    write(folder, "full.bin", bytes(24))
    os.symlink("full.bin", os.path.join(folder, "link.bin"))
    return external(location="link.bin")


@case(4, r"cannot open external data 'link/full\.bin'")
def external_symlinked_folder(folder):
    os.mkdir(os.path.join(folder, "real"))
    write(folder, "real/full.bin", bytes(24))
    os.symlink("real", os.path.join(folder, "link"))
    return external(location="link/full.bin")


@case(1, r"external data 'link\.bin' is a link that leads out of the model's folder; copy the file into it")
def external_symlink_out(folder):
    write(os.path.dirname(folder), "secret.bin", bytes(24))
    os.symlink("../secret.bin", os.path.join(folder, "link.bin"))
    return external(location="link.bin"), ["--follow-links"]


@case(1, r"external data 'sub/secret\.bin' is a link that leads out of the model's folder")
def external_symlinked_folder_out(folder):
    write(os.path.dirname(folder), "secret.bin", bytes(24))
    os.symlink(os.path.dirname(folder), os.path.join(folder, "sub"))
    return external(location="sub/secret.bin"), ["--follow-links"]


@case(1, r"external data 'next\.bin' is a link that leads out of the model's folder")
def external_symlink_to_a_like_named_folder(folder):
    os.mkdir(folder + "2")
    write(folder + "2", "full.bin", bytes(24))
    os.symlink(folder + "2/full.bin", os.path.join(folder, "next.bin"))
    return external(location="next.bin"), ["--follow-links"]


@case(4, r"external data 'pipe' is not a regular file")
def external_symlink_to_a_pipe(folder):
    os.mkfifo(os.path.join(folder, "real"))
    os.symlink("real", os.path.join(folder, "pipe"))
    return external(location="pipe"), ["--follow-links"]


@case(4, r"external data 'hard\.bin' is a hard link")
def external_hard_link(folder):
    write(folder, "full.bin", bytes(24))
    os.link(os.path.join(folder, "full.bin"), os.path.join(folder, "hard.bin"))
    return external(location="hard.bin")


@case(4, r"external data 'pipe' is not a regular file")
def external_fifo(folder):
    os.mkfifo(os.path.join(folder, "pipe"))
    return external(location="pipe")


@case(1, r"external data without a location")
def external_nowhere(_):
    return external(offset="0")
