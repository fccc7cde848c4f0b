"""What is read from [[hook]] and [[notify]], and what is said of what is wrong there?"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sipdispatch.notice_sections import NoticeSections, read_notice_sections
from sipdispatch.notice_settings import Hook, Notify

BASE = Path("/etc/sipdispatch")
SECRET = "T0PSECRET"


def read(text: str) -> tuple[NoticeSections, list[str]]:
    sections, found = read_notice_sections(tomllib.loads(text), BASE)
    said = []
    for finding in found:
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in finding.at).removeprefix(".")
        said.append(f"{finding.severity}: {key}: {finding.message}; {finding.hint}")
    return sections, said


def test_nothing_is_nothing() -> None:
    assert read("") == (NoticeSections(), [])


def test_every_key_of_a_hook() -> None:
    sections, said = read(
        """
        [[hook]]
        name = "pager"
        command = ["/usr/local/bin/page", "noc", ""]
        on = ["verdict", "proxy"]
        timeout = "2500ms"
        retries = 0
        at_once = 4
        """
    )
    assert said == []
    assert sections.hooks == (
        Hook(
            name="pager",
            command=("/usr/local/bin/page", "noc", ""),
            kinds=frozenset({"verdict", "proxy"}),
            timeout=2.5,
            retries=0,
            at_once=4,
        ),
    )


def test_every_key_of_a_post() -> None:
    sections, said = read(
        """
        [[notify]]
        name = "chat"
        url = "https://oapi.dingtalk.com/robot/send?access_token=x"
        format = "dingtalk"
        secret_file = "sign"
        headers_file = "/run/headers"
        proxy = "http://192.0.2.3:3128"
        ca_file = "ca.pem"
        on = "verdict"
        every = "5m"
        timeout = 3
        retries = 1
        """
    )
    assert said == []
    assert sections.notifiers == (
        Notify(
            name="chat",
            url="https://oapi.dingtalk.com/robot/send?access_token=x",
            format="dingtalk",
            secret_file=BASE / "sign",
            headers_file=Path("/run/headers"),
            proxy="http://192.0.2.3:3128",
            ca_file=BASE / "ca.pem",
            kinds=frozenset({"verdict"}),
            every=300.0,
            timeout=3.0,
            retries=1,
        ),
    )


def test_every_key_of_mail() -> None:
    sections, said = read(
        """
        [[notify]]
        smtp = "[2001:db8::25]:587"
        from = "edge1@example.com"
        to = ["noc@example.com", "boss+pager@example.com"]
        user = "edge1"
        password_file = "mail.password"
        starttls = true
        subject_prefix = ""
        """
    )
    assert said == []
    (notify,) = sections.notifiers
    assert notify.smtp == ("2001:db8::25", 587)
    assert notify.where == "[2001:db8::25]:587"
    assert (notify.name, notify.shape) == ("email", "email")
    assert notify.recipients == ("noc@example.com", "boss+pager@example.com")


def test_a_prefix_of_subjects() -> None:
    sections, said = read(f"[[notify]]\n{MAIL}subject_prefix = '[Störung]'\n")
    assert said == []
    assert sections.notifiers[0].subject_prefix == "[Störung]"


def test_those_without_a_name_are_called_after_what_they_are() -> None:
    sections, said = read(
        """
        [[hook]]
        command = ["/opt/page"]
        [[hook]]
        command = ["/usr/bin/page"]
        [[notify]]
        name = "json"
        url_file = "url"
        [[notify]]
        url = "http://127.0.0.1:8080/"
        [[notify]]
        smtp = "mail.example.com"
        from = "a@example.com"
        to = "b@example.com"
        """
    )
    assert said == []
    assert [hook.name for hook in sections.hooks] == ["page", "page-2"]
    assert [notify.name for notify in sections.notifiers] == ["json", "json-2", "email"]
    assert [notify.where for notify in sections.notifiers] == [
        "/etc/sipdispatch/url",
        "127.0.0.1:8080",
        "mail.example.com:25",
    ]


HOOKS = [
    ("command = []", "command: must be a list of texts"),
    ('command = "page noc"', 'command: must be a list, not text: no shell reads it; write command = ["page", "noc"]'),
    ('command = ""', "command: must be a list, not text: no shell reads it"),
    ('command = ["/bin/x", 5]', "command: must be a list of texts; a number (5) is in it"),
    ('command = ["/bin/x", "a\\u0000"]', "command: a word of it has a NUL"),
    ('command = ["page"]', 'command: "page" is not a whole path'),
    ("retries = 2", "command: is missing; write it as in command = "),
    ('command = ["/x"]\non = []', "on: is empty"),
    ('command = ["/x"]\non = ["verdict", "words"]', 'on[1]: "words" is not known here; did you mean word?'),
    ('command = ["/x"]\ntimeout = "10"', 'timeout: "10" is not a time'),
    ('command = ["/x"]\nretries = 11', "retries: 11 is out of range"),
    ('command = ["/x"]\nat_once = 0', "at_once: 0 is out of range"),
    ('command = ["/x"]\nname = "my pager"', 'name: "my pager" is not a name'),
    ('command = ["/x"]\nshell = true', "shell: there is no such key"),
    ('command = ["/x"]\nkinds = "word"', "kinds: there is no such key; write on"),
]


@pytest.mark.parametrize(("text", "said"), HOOKS)
def test_what_is_said_of_a_hook(text: str, said: str) -> None:
    sections, (problem, *more) = read(f"[[hook]]\n{text}\n")
    assert sections.hooks == ()
    assert more == []
    assert problem.startswith(f"error: hook[0].{said}")


MAIL = 'smtp = "mail.example.com:587"\nfrom = "a@example.com"\nto = "b@example.com"\n'
NOTIFIERS = [
    ("", ": says not where to"),
    ('url = "https://a.example"\nsmtp = "b"', ".smtp: url is there too; make two notifiers"),
    ('url = "https://a.example"\nurl_file = "b"', ".url_file: url is there too"),
    (f'url = "https://{SECRET} x"', ".url: is not a URL: it has spaces"),
    (f'url = "https://hooks.example/{SECRET}ä"', ".url: is not a URL: it has spaces or letters"),
    (f'url = "ftp://{SECRET}"', ".url: is not a URL of HTTP"),
    (f'url = "https:///{SECRET}"', ".url: is not a URL of HTTP"),
    (f'url = "https://a.example:port/{SECRET}"', ".url: is not a URL of HTTP"),
    (f'url = "https://u:{SECRET}@a.example/"', ".url: has a user or a password in it"),
    (f'url = "https://a.example/{SECRET}#x"', ".url: has a fragment"),
    ('url = "https://a.example"\nto = "b@example.com"', ".to: belongs to mail; write smtp"),
    ('url = "https://a.example"\nuser = "b"', ".user: belongs to mail; write a line Authorization"),
    ('url = "https://a.example"\nformat = "email"', ".format: email is not posted to a URL"),
    ('url = "https://a.example"\nformat = "teams"', '.format: "teams" is not known here'),
    ('url = "https://a.example"\nsecret_file = "x"', ".secret_file: json signs nothing"),
    ('url = "https://a.example"\nproxy = "192.0.2.3:3128"', ".proxy: is not the URL of a proxy"),
    ('url = "https://a.example"\nproxy = "http://[::1:x"', ".proxy: is not the URL of a proxy"),
    ('url = "https://a.example"\nevery = "500ms"', '.every: "500ms" is out of range'),
    ('smtp = "smtp://b"', '.smtp: "smtp://b" is not host and port'),
    ('smtp = "b:0"', '.smtp: "b:0" is not host and port'),
    ('smtp = "b:x"', '.smtp: "b:x" is not host and port'),
    ('smtp = "b"\nto = "b@example.com"', ".smtp: from is missing"),
    ('smtp = "b"\nfrom = "b@example.com"', ".smtp: to is missing"),
    ('smtp = "b"\nfrom = "Edge <b@example.com>"\nto = "b@c"', '.from: "Edge <b@example.com>" is not an address'),
    ('smtp = "b"\nfrom = "b@ä.example"\nto = "b@c"', '.from: "b@ä.example" has letters that are not ASCII'),
    ('smtp = "b"\nfrom = "a@b"\nto = []', ".to: is empty"),
    (MAIL + 'format = "slack"', ".format: slack does not go by mail"),
    (MAIL + 'proxy = "http://192.0.2.3:3128"', ".proxy: belongs to a URL"),
    (MAIL + 'user = "x"', ".user: password_file is missing"),
    (MAIL + 'password_file = "x"', ".password_file: user is missing"),
    (MAIL + 'user = "x"\npassword_file = "x"\nstarttls = false', ".starttls: the password could be read on its way"),
    (MAIL + 'password = "x"', ".password: there is no such key; write password_file"),
    (MAIL + 'subject_prefix = "a\\nb"', '.subject_prefix: "a\\nb" cannot stand in a subject'),
]


@pytest.mark.parametrize(("text", "said"), NOTIFIERS)
def test_what_is_said_of_a_notifier(text: str, said: str) -> None:
    _, (problem, *more) = read(f"[[notify]]\n{text}\n")
    assert more == []
    assert problem.startswith(f"error: notify[0]{said}")
    assert SECRET not in problem


def test_what_is_doubtful() -> None:
    _, said = read('[[notify]]\nurl = "http://hooks.slack.com/services/x"\n')
    assert said == [
        'warning: notify[0].url: hooks.slack.com does not understand json; write format = "slack"',
        "warning: notify[0].url: what is posted can be read on its way; write https://",
    ]


def test_a_section_with_one_bracket() -> None:
    _, said = read('[hook]\ncommand = ["/x"]\n')
    assert said == ["error: hook: must be a list of tables, not a table; write [[hook]], with two brackets, above each"]


def test_two_with_one_name() -> None:
    _, said = read(
        """
        [[hook]]
        name = "x"
        command = ["/x"]
        [[notify]]
        name = "x"
        url_file = "u"
        """
    )
    assert said == ["error: notify[0].name: hook[0] has the same name; give each a name of its own"]


def test_the_good_ones_are_read_beside_the_wrong_ones() -> None:
    sections, said = read('[[hook]]\ncommand = ["x"]\n[[hook]]\ncommand = ["/x"]\n')
    assert [hook.command for hook in sections.hooks] == [("/x",)]
    assert len(said) == 1


def test_a_password_may_go_in_clear_to_this_machine() -> None:
    text = MAIL + 'user = "x"\npassword_file = "x"\nstarttls = false'
    assert read("[[notify]]\n" + text.replace("mail.example.com", "localhost"))[1] == []
    assert read("[[notify]]\n" + text.replace("587", "465"))[1] == []
