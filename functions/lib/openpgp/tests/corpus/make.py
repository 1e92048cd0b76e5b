#!/usr/bin/env python3
"""Certificates as partners send them, each with the verdict that it deserves.

`make.py FOLDER` writes the certificates, `verdicts.json`, and below `private/` the keys that open
what was sealed for the good ones. GnuPG and `sq` make everything anew; the verdicts are written
here by hand and `names` is what the makers say, so nothing comes from the code under test.

A row of `verdicts.json`: `file`; `verdict`, `good` or `refused`; `code` of the refusal, or `warning`
that a good one comes with; `names`, what the refusal or the warning must contain (without either:
what the description of the certificate must); `keys`, the ids to seal to; `private`, the file with
the private key; `opens`, the programs that can use it; `why`, in words.
"""

import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import sys

sys.dont_write_bytecode = True
from makers import FUTURE, IN_2024, LONG_AGO, Workshop

NOW = datetime.datetime.now(datetime.timezone.utc)
IN_20_DAYS = (NOW + datetime.timedelta(days=20)).strftime("%Y-%m-%d")
ROWS = []
BOTH = ("gpg", "sq")
SHA1 = ("--cert-digest-algo", "SHA1")


def good(file, why, names=(), opens=BOTH, warning=None, seconds=1):
    """Registers a maker whose certificate must be accepted."""
    more = {"warning": warning, "opens": opens}
    return register({"file": file, "verdict": "good", "code": None, "names": names, "why": why,
                     **more}, seconds)


def refused(file, code, why, names=(), seconds=1):
    """Registers a maker whose certificate must be refused."""
    code = f"openpgp.{code}"
    return register({"file": file, "verdict": "refused", "code": code, "names": names,
                     "why": why, "opens": ()}, seconds)


def register(row, seconds):
    """Keeps a row with its maker; `seconds` lets slow makers start first."""
    def keep(maker):
        ROWS.append((row, maker, seconds))
        return maker
    return keep


# Good: one of every kind that is computed here. A maker returns the bytes, and for a good
# certificate with more or fewer keys than gpg lists, the ids of the keys to seal to.

def kinds(name, primary, subkey, named, seconds=1):
    """A good certificate of one algorithm, made by gpg."""
    @good(f"{name}.pgp", f"{named}, made by gpg", [named, "{fingerprint}"], seconds=seconds)
    def _(shop):
        shop.make(primary)
        shop.add(subkey)
        return shop.export()


kinds("rsa2048", "rsa2048", "rsa2048", "RSA-2048", 2)
kinds("rsa3072", "rsa3072", "rsa3072", "RSA-3072", 5)
kinds("rsa4096", "rsa4096", "rsa4096", "RSA-4096", 9)
kinds("cv25519", "ed25519", "cv25519", "Curve25519")
kinds("nistp256", "nistp256", "nistp256", "NIST P-256")
kinds("nistp384", "nistp384", "nistp384", "NIST P-384")
kinds("nistp521", "nistp521", "nistp521", "NIST P-521")


@good("rsa-all-in-one.pgp", "the primary key encrypts by itself", ["RSA-2048"], seconds=2)
def _(shop):
    shop.make("rsa2048", "cert,sign,encr")
    return shop.export(), [shop.fingerprint()[-16:]]


def sq_kinds(file, why, named, *options, opens=BOTH, seconds=1):
    """A good certificate made by sq."""
    @good(file, why, [named, "{fingerprint}"], opens, seconds=seconds)
    def _(shop):
        certificate = shop.sq_make(*options)
        shop.look(certificate)
        return certificate


sq_kinds("sq-cv25519.asc", "Cv25519 with three subkeys, made by sq", "Curve25519")
sq_kinds("sq-rsa3k.asc", "RSA-3072, made by sq", "RSA-3072", "--cipher-suite", "rsa3k", seconds=5)
sq_kinds("sq-rsa4k.asc", "RSA-4096, made by sq", "RSA-4096", "--cipher-suite", "rsa4k", seconds=9)
sq_kinds("sq-transport.asc", "flagged for transport only", "Curve25519", "--can-encrypt",
         "transport")
sq_kinds("sq-storage.asc", "flagged for storage only", "Curve25519", "--can-encrypt", "storage")


@good("sq-nobody.asc", "no user id at all, bound by a direct signature", ["no user id"], ("sq",))
def _(shop):
    certificate = shop.sq_make(anonymous=True)
    subkeys = shop.sq("inspect", stdin=certificate).decode().split("Subkey: ")[1:]
    return certificate, [subkey[24:40] for subkey in subkeys if "transport encryption" in subkey]


# Good: life has left its marks, yet something to seal to is there.

@good("renewed.pgp", "expired, then prolonged by its owner")
def _(shop):
    shop.make("ed25519", expires="2021-05-06", at=LONG_AGO)
    shop.add("cv25519", at=LONG_AGO)
    shop.gpg("--quick-set-expire", shop.fingerprint(), "2y")
    return shop.export()


@good("subkey-renewed.pgp", "the encryption key expired, then was prolonged")
def _(shop):
    shop.make("ed25519", at=LONG_AGO)
    shop.add("cv25519", expires="2021-05-06", at=LONG_AGO)
    shop.gpg("--quick-set-expire", shop.fingerprint(), "2y", shop.rows("fpr")[1][9])
    return shop.export()


@good("rotated.pgp", "of five encryption keys two are alive, strong and computable")
def _(shop):
    shop.make("ed25519", at=LONG_AGO)
    shop.add("cv25519", expires="2021-05-06", at=LONG_AGO)
    shop.add("cv25519")
    shop.add("nistp256")
    shop.add("rsa1024")
    shop.add("brainpoolP256r1")
    return shop.export(), shop.subkeys()[1:3]


@good("expired-and-living.pgp", "one encryption key expired, another lives")
def _(shop):
    shop.make("ed25519", at=LONG_AGO)
    shop.add("cv25519", expires="2021-05-06", at=LONG_AGO)
    shop.add("cv25519")
    return shop.export(), shop.subkeys()[1:]


@good("revoked-and-living.pgp", "one encryption key revoked, another lives")
def _(shop):
    shop.default(LONG_AGO)
    shop.edit("key 1", "revkey", "y", "1", "stolen", "", "y", at=IN_2024)
    shop.add("cv25519")
    return shop.export(), shop.subkeys()[1:]


@good("future-and-living.pgp", "one encryption key starts in the future, another lives")
def _(shop):
    shop.default()
    shop.add("cv25519", at=FUTURE)
    return shop.export(), shop.subkeys()[:1]


@good("three-encryption-keys.pgp", "every one of three encryption keys is sealed to")
def _(shop):
    shop.make("ed25519")
    for algorithm in ("cv25519", "nistp384", "rsa2048"):
        shop.add(algorithm)
    return shop.export()


@good("auth-and-sign-too.pgp", "subkeys for signing and authentication are left alone")
def _(shop):
    shop.default()
    shop.add("ed25519", "sign")
    shop.add("ed25519", "auth")
    return shop.export()


@good("one-user-revoked.pgp", "one user id revoked, another stands", ["left@corpus"])
def _(shop):
    shop.default()
    shop.gpg("--quick-add-uid", shop.fingerprint(), "left@corpus")
    shop.gpg("--quick-revoke-uid", shop.fingerprint(), shop.user)
    return shop.export()


@good("expires-soon.pgp", "20 days are left", ["{fingerprint}", f"expires on {IN_20_DAYS}"],
      warning="openpgp.expires_soon")
def _(shop):
    shop.make("ed25519", expires="2y")
    shop.add("cv25519", expires=IN_20_DAYS)
    return shop.export()


@good("locked.pgp", "the owner's private key has a passphrase, which is not our business",
      opens=())
def _(shop):
    shop.make("rsa2048", "cert,sign,encr", passphrase="a secret")
    return shop.gpg("--export"), [shop.fingerprint()[-16:]]


@good("stranger-notation.asc", "a stranger's certification with an unknown critical notation")
def _(shop):
    shop.default()
    return shop.sq_certify(shop.export(), shop.user, "!unknown@corpus.example", "stranger@corpus")


def own_notation(file, why, notation):
    """A newer self-signature with a notation that nobody knows."""
    @good(file, why, ["{fingerprint}"])
    def _(shop):
        certificate = shop.sq_make("--creation-time", "20230101", "--expires", "never")
        shop.look(certificate)
        return shop.sq_certify(certificate, shop.user, notation)


own_notation("notation.asc", "an unknown notation", "unknown@corpus.example")
own_notation("critical-notation.asc", "an unknown critical notation voids the newer self-signature"
             " and leaves the older", "!unknown@corpus.example")


@good("retired-in-2090.pgp", "a soft revocation that takes effect in the future")
def _(shop):
    shop.sq_make("--expires", "never")
    return shop.sq_revoke("20900101", "superseded", "next generation")


# Good: files that went through mail programs and editors.

def dress(file, why, change):
    """The same good certificate, armored and then changed as text."""
    @good(file, why, ["{fingerprint}"])
    def _(shop):
        shop.default()
        return change(shop.export("--armor").decode()).encode()


def headers(text):
    """The comments that old PGP programs write."""
    first = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
    return text.replace(first, first + "Version: PGP 8.0\nComment: Acme\n", 1)


CHECKSUM = re.compile(r"^=....$", re.M)
dress("armored.asc", "armored", lambda text: text)
dress("crlf.asc", "line ends of Windows", lambda text: text.replace("\n", "\r\n"))
dress("byte-order-mark.asc", "UTF-8 with a byte order mark", lambda text: "\ufeff" + text)
dress("letter.asc", "text before and after",
      lambda text: f"Here is our key:\n\n{text}\nRegards, Acme\n")
dress("no-checksum.asc", "without the optional checksum",
      lambda text: CHECKSUM.sub("", text).replace("\n\n-----END", "\n-----END"))
dress("wrong-checksum.asc", "RFC 9580 tells to ignore the checksum; the signatures count",
      lambda text: CHECKSUM.sub("=AAAA", text))
dress("headers.asc", "with armor headers", headers)
dress("no-last-newline.asc", "without the last line end", str.rstrip)
dress("web-page.asc", "saved from a key server's web page",
      lambda text: f"<html><body><pre>\n{text}</pre></body></html>\n")


# Refused: time.

@refused("expired.pgp", "expired", "the certificate has ended",
         ["{fingerprint}", "{user}", "expired on 2021-05-06", "must send"])
def _(shop):
    shop.make("ed25519", expires="2021-05-06", at=LONG_AGO)
    shop.add("cv25519", at=LONG_AGO)
    return shop.export()


@refused("sq-expired.asc", "expired", "the same, made by sq",
         ["{user}", "expired on 2016-02-03"])
def _(shop):
    return shop.sq_make("--creation-time", "20150101", "--expires", "20160203")


@refused("subkeys-expired.pgp", "expired", "all encryption keys have ended; the last one counts",
         ["encryption key", "{fingerprint}", "{user}", "expired on 2022-03-04"])
def _(shop):
    shop.make("ed25519", at=LONG_AGO)
    shop.add("cv25519", expires="2021-01-02", at=LONG_AGO)
    shop.add("cv25519", expires="2022-03-04", at=LONG_AGO)
    return shop.export()


@refused("not-yet-valid.pgp", "not_yet_valid", "starts in the future",
         ["{fingerprint}", "{user}", "not valid before 2090-01-01"])
def _(shop):
    shop.make("future-default", "default", at=FUTURE)
    return shop.export()


@refused("subkey-not-yet-valid.pgp", "not_yet_valid", "its encryption key starts in the future",
         ["encryption key", "{user}", "not valid before 2090-01-01"])
def _(shop):
    shop.make("ed25519")
    shop.add("cv25519", at=FUTURE)
    return shop.export()


# Refused: revoked.

@refused("revoked.pgp", "revoked", "revoked by its owner",
         ["{fingerprint}", "{user}", "revoked on 2020-01-01: No reason specified. The partner"])
def _(shop):
    shop.default(LONG_AGO)
    shop.revoke()
    return shop.export()


@refused("revoked-and-expired.pgp", "revoked", "revoked tells more than expired", ["{user}"])
def _(shop):
    shop.make("ed25519", expires="1y", at=LONG_AGO)
    shop.add("cv25519", at=LONG_AGO)
    shop.revoke()
    return shop.export()


def sq_revoked(file, reason, words):
    """Revoked with one of sq's reasons and a text."""
    @refused(file, "revoked", f"revoked by sq as {reason}", [words, "see www", "2024-05-06"])
    def _(shop):
        shop.sq_make("--creation-time", "20230101", "--expires", "never")
        return shop.sq_revoke("20240506", reason, "see www")


sq_revoked("sq-compromised.pgp", "compromised", "ompromised")
sq_revoked("sq-superseded.pgp", "superseded", "uperseded")
sq_revoked("sq-retired.pgp", "retired", "retired")


@refused("subkey-revoked.pgp", "revoked", "its only encryption key is revoked",
         ["encryption key", "{fingerprint}", "{user}", "stolen", "revoked on 2024-05-06"])
def _(shop):
    shop.default(LONG_AGO)
    shop.edit("key 1", "revkey", "y", "1", "stolen", "", "y", at=IN_2024)
    return shop.export()


@refused("user-revoked.pgp", "revoked", "every user id is revoked",
         ["last user id of", "{user}", "revoked on 2024-05-06"])
def _(shop):
    shop.default(LONG_AGO)
    shop.gpg("--quick-add-uid", shop.fingerprint(), "other@corpus", at=LONG_AGO)
    shop.gpg("--quick-revoke-uid", shop.fingerprint(), shop.user, at=IN_2024)
    # gpg never revokes the last one, so the last one is left out.
    return shop.export("--export-filter", f"keep-uid=uid =~ {shop.user}")


# Refused: several reasons, of which the most telling is given.

def telling(file, code, why, names, *makers):
    """Encryption keys that are each unfit in a way of their own."""
    @refused(file, code, why, ["encryption key", "{user}", *names])
    def _(shop):
        shop.make("ed25519", at=LONG_AGO)
        for maker in makers:
            maker(shop)
        return shop.export()


def ended(day):
    """An encryption key that has ended."""
    return lambda shop: shop.add("cv25519", expires=day, at=LONG_AGO)


def revoked(shop):
    """An encryption key that is revoked; it must be the first."""
    shop.add("cv25519", at=LONG_AGO)
    shop.edit("key 1", "revkey", "y", "1", "stolen", "", "y", at=IN_2024)


def future(year):
    """An encryption key that starts in that year."""
    return lambda shop: shop.add("cv25519", at=f"{year}0101T000000!")


def plain(algorithm):
    """An encryption key of some algorithm."""
    return lambda shop: shop.add(algorithm, at=LONG_AGO)


telling("ended-or-revoked.pgp", "expired", "ended tells more than revoked",
        ["expired on 2021-01-02"], revoked, ended("2021-01-02"))
telling("ended-thrice.pgp", "expired", "the last end counts", ["expired on 2023-05-06"],
        ended("2021-01-02"), ended("2023-05-06"), ended("2022-03-04"))
telling("revoked-or-future.pgp", "revoked", "revoked tells more than not yet valid", ["stolen"],
        revoked, future(2090))
telling("future-or-weak.pgp", "not_yet_valid", "not yet valid tells more than weak",
        ["not valid before 2090-01-01"], plain("rsa1024"), future(2090))
telling("future-thrice.pgp", "not_yet_valid", "the first start counts",
        ["not valid before 2080-01-01"], future(2090), future(2080), future(2085))
telling("weak-or-brainpool.pgp", "too_weak", "weak tells more than not computable",
        ["RSA-1024"], plain("rsa1024"), plain("brainpoolP256r1"), plain("brainpoolP384r1"))


# An owner's revocation counts however weak its hash: ignoring it would leak a file.

@refused("revoked-with-sha1.pgp", "revoked", "revoked by a signature with SHA-1",
         ["{fingerprint}", "{user}", "stolen", "revoked on 2024-05-06"])
def _(shop):
    shop.default(LONG_AGO)
    answers = "\n".join(["y", "1", "stolen", "", "y", ""]).encode()
    revocation = shop.gpg(*SHA1, "--command-fd", "0", "--gen-revoke", shop.fingerprint(),
                          stdin=answers, at=IN_2024, batch=False)
    shop.look(revocation)
    return shop.export()


@refused("subkey-revoked-with-sha1.pgp", "revoked", "its only encryption key is, with SHA-1",
         ["encryption key", "{user}", "stolen", "revoked on 2024-05-06"])
def _(shop):
    shop.default(LONG_AGO)
    shop.edit("key 1", "revkey", "y", "1", "stolen", "", "y", at=IN_2024, options=SHA1)
    return shop.export()


@refused("user-revoked-with-sha1.pgp", "revoked", "every user id is, with SHA-1",
         ["last user id of", "{user}", "revoked on 2024-05-06"])
def _(shop):
    shop.default(LONG_AGO)
    shop.gpg("--quick-add-uid", shop.fingerprint(), "other@corpus", at=LONG_AGO)
    shop.gpg(*SHA1, "--quick-revoke-uid", shop.fingerprint(), shop.user, at=IN_2024)
    return shop.export("--export-filter", f"keep-uid=uid =~ {shop.user}")


# Refused: weak, or not computable.

def weak(file, why, primary, subkey, names, code="too_weak", options=(), seconds=1):
    """A certificate whose algorithms do not pass."""
    @refused(file, code, why, ["{fingerprint}", "{user}", *names], seconds)
    def _(shop):
        shop.make(primary, options=options)
        if subkey:
            shop.add(subkey, options=options)
        return shop.export()


weak("rsa1024.pgp", "a primary key below 2048 bits", "rsa1024", "rsa2048", ["RSA-1024"])
weak("rsa1536.pgp", "a primary key below 2048 bits", "rsa1536", "rsa2048", ["RSA-1536"])
weak("rsa1024-subkey.pgp", "an encryption key below 2048 bits", "ed25519", "rsa1024",
     ["encryption key", "RSA-1024"])
weak("sha1.pgp", "self-signatures with SHA-1", "ed25519", "cv25519", ["SHA1", "SHA-256"],
     options=SHA1)
weak("brainpool.pgp", "a primary curve that is not computed", "brainpoolP256r1",
     "brainpoolP256r1", ["brainpoolP256r1"], "unsupported")
weak("brainpool-subkey.pgp", "an encryption curve that is not computed", "ed25519",
     "brainpoolP384r1", ["encryption key", "brainpoolP384r1"], "unsupported")
weak("secp256k1.pgp", "a curve that is not computed", "secp256k1", "secp256k1", [],
     "unsupported")
weak("secp256k1-subkey.pgp", "an encryption curve that is not computed", "ed25519",
     "secp256k1", ["encryption key"], "unsupported")


@refused("sha1-subkey.pgp", "too_weak", "the encryption key is bound with SHA-1",
         ["encryption key", "{fingerprint}", "{user}", "SHA1"])
def _(shop):
    shop.make("ed25519")
    shop.add("cv25519", options=SHA1)
    return shop.export()


def batch(file, primary, subkey, names):
    """Old kinds that gpg makes from a parameter file only."""
    @refused(file, "too_weak", "a kind that is refused at any size", names, seconds=9)
    def _(shop):
        shop.gpg("--generate-key", stdin=f"""%no-protection
            {primary}
            {subkey}
            Name-Email: {shop.user}
            Expire-Date: 0
            %commit
            """.encode())
        return shop.export()


ELGAMAL = "Subkey-Type: ELG-E\nSubkey-Length: 2048"
batch("dsa.pgp", "Key-Type: DSA\nKey-Length: 2048", ELGAMAL, ["DSA-2048", "{user}"])
batch("elgamal.pgp", "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign", ELGAMAL,
      ["encryption key", "ElGamal-2048", "{user}"])


# Refused: nothing to seal to.

@refused("sign-only.pgp", "no_encryption_key", "it can only sign", ["{fingerprint}", "{user}"])
def _(shop):
    shop.make("rsa2048")
    return shop.export()


@refused("sign-and-auth.pgp", "no_encryption_key", "an RSA subkey flagged for logging in only",
         ["{fingerprint}", "{user}", "encryption subkey"])
def _(shop):
    shop.make("ed25519")
    shop.add("rsa2048", "auth")
    return shop.export()


@refused("sq-cannot-encrypt.asc", "no_encryption_key", "made by sq without encryption", ["{user}"])
def _(shop):
    return shop.sq_make("--cannot-encrypt")


@refused("encryption-key-missing.pgp", "no_encryption_key", "its encryption key was left out")
def _(shop):
    shop.default()
    return shop.export("--export-filter", "drop-subkey=key_algo == 18")


# Refused: a private key.

def private(file, why, *options, extract=None):
    """A private key where the certificate belongs."""
    @refused(file, "secret_key", why, ["{fingerprint}", "{user}", "rotate"])
    def _(shop):
        shop.default()
        secret = shop.gpg(*options)
        return extract(shop, secret) if extract else secret


private("private.pgp", "the private key, binary", "--export-secret-keys")
private("private.asc", "the private key, armored", "--armor", "--export-secret-keys")
private("private-subkeys.pgp", "private subkeys without the primary's", "--export-secret-subkeys")
private("private-behind-public.asc", "both, one after the other", "--armor",
        "--export-secret-keys", extract=lambda shop, secret: shop.export("--armor") + secret)


@refused("private-locked.asc", "secret_key", "a private key with a passphrase is one as well",
         ["{user}", "rotate"], 2)
def _(shop):
    shop.make("rsa2048", "cert,sign,encr", passphrase="a secret")
    return shop.gpg("--armor", "--export-secret-keys", passphrase="a secret")


@refused("private-cut.pgp", "secret_key", "half of a private key", ["rotate"])
def _(shop):
    shop.default()
    secret = shop.gpg("--export-secret-keys")
    return secret[: len(secret) // 2]


@refused("private-cut.asc", "secret_key", "half of an armored private key", ["rotate"])
def _(shop):
    shop.default()
    secret = shop.gpg("--armor", "--export-secret-keys")
    return secret[: len(secret) // 2]


@refused("private-of-another.pgp", "secret_key", "a certificate, then another's private key",
         ["{fingerprint}", "{user}", "rotate"])
def _(shop):
    shop.default()
    other = Workshop("second@corpus")
    try:
        other.default()
        return shop.gpg("--export") + other.gpg("--export-secret-keys")
    finally:
        other.close()


# Refused: no certificate, or not one.

def several(file, why, *options, change=lambda first, second: first + second):
    """Two certificates in one file."""
    @refused(file, "several_certificates", why, ["(2, the first is", "{fingerprint}"])
    def _(shop):
        shop.default()
        first = shop.gpg(*options, "--export")
        other = Workshop("second@corpus")
        try:
            other.default()
            return change(first, other.gpg(*options, "--export"))
        finally:
            other.close()


several("two.pgp", "two certificates, binary")
several("two.asc", "two certificates in two armored blocks", "--armor")
@refused("two-in-one-block.asc", "several_certificates", "two certificates in one armored block",
         ["(2, the first is"])
def _(shop):
    shop.default()
    shop.gpg("--quick-generate-key", "second@corpus", "ed25519")
    return shop.gpg("--armor", "--export")


several("twice.pgp", "twice the same", change=lambda first, _: first + first)


def unreadable(file, why, names=()):
    """Something that is no certificate; the maker starts with a good key at hand."""
    def keep(make):
        @refused(file, "unreadable", why, ["Ask the partner", *names])
        def _(shop):
            shop.default()
            return make(shop)
        return make
    return keep


unreadable("empty.pgp", "no byte", ["empty"])(lambda shop: b"")
unreadable("blank.asc", "only white space", ["empty"])(lambda shop: b" \r\n\n")
unreadable("cut.pgp", "cut off in the middle")(lambda shop: shop.export()[:150])
unreadable("cut.asc", "armored, cut off")(lambda shop: shop.export("--armor")[:300])
unreadable("nonsense.txt", "words", ["no OpenPGP key"])(lambda shop: b"our key follows by mail\n")
unreadable("signature.asc", "a signature", ["signature"])(
    lambda shop: shop.gpg("--armor", "--detach-sign", stdin=b"x"))
unreadable("signature.pgp", "a signature, binary")(
    lambda shop: shop.gpg("--detach-sign", stdin=b"x"))
unreadable("message.asc", "an encrypted message", ["message"])(
    lambda shop: shop.gpg("--armor", "--encrypt", "-r", shop.user, stdin=b"x"))
unreadable("message.pgp", "an encrypted message, binary")(
    lambda shop: shop.gpg("--encrypt", "-r", shop.user, stdin=b"x"))
unreadable("keybox.kbx", "gpg's own database", ["keybox", "gpg --export"])(
    lambda shop: (shop.home / "pubring.kbx").read_bytes())
unreadable("revocation.asc", "only the revocation, without the key")(
    lambda shop: next((shop.home / "openpgp-revocs.d").iterdir()).read_bytes()
    .replace(b":-----BEGIN", b"-----BEGIN"))
unreadable("utf16.asc", "UTF-16 text", ["UTF-16"])(
    lambda shop: shop.export("--armor").decode().encode("utf-16"))
unreadable("ssh.pub", "an SSH key", ["SSH"])(
    lambda shop: b"ssh-ed25519 " + b"A" * 68 + b" me@corpus\n")
unreadable("x509.pem", "an X.509 certificate", ["PEM"])(
    lambda shop: b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
unreadable("users-missing.pgp", "all user ids left out, and their signatures with them",
           ["{fingerprint}", "self-signature"])(
    lambda shop: shop.export("--export-filter", "keep-uid=uid = nobody"))


def fill(words, shop, certificate):
    """Puts what the makers say into the names."""
    facts = {"user": shop.user}
    if any("{fingerprint}" in word for word in words):
        if not shop.rows("fpr"):
            shop.look(certificate)
        facts["fingerprint"] = shop.fingerprint()
    return [word.format(**facts) for word in words]


def build(folder, row, maker):
    """Makes one certificate and completes its row."""
    shop = Workshop(f"{row['file'].replace('.', '-')}@corpus")
    try:
        made = maker(shop)
        certificate, keys = made if isinstance(made, tuple) else (made, None)
        (folder / row["file"]).write_bytes(certificate)
        done = {**row, "names": fill(row["names"], shop, certificate), "private": None}
        if row["verdict"] == "good":
            done["keys"] = sorted(keys or shop.subkeys())
        if row["opens"]:
            done["private"] = f"private/{row['file']}"
            (folder / done["private"]).write_bytes(shop.private)
        return done
    except Exception as error:
        raise RuntimeError(f"{row['file']}: {error}") from error
    finally:
        shop.close()


def main(folder):
    """Everything, slow makers first."""
    (folder / "private").mkdir(parents=True, exist_ok=True)
    order = sorted(ROWS, key=lambda one: -one[2])
    workers = (os.cpu_count() or 1) + 2
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        started = [pool.submit(build, folder, row, maker) for row, maker, _ in order]
    failures = [str(one.exception()) for one in started if one.exception()]
    if failures:
        sys.exit("\n".join(failures))
    made = [one.result() for one in started]
    made.sort(key=lambda row: (row["verdict"], row["file"]))
    (folder / "verdicts.json").write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
