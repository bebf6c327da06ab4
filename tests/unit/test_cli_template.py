from __future__ import annotations

import pytest

from pycontainer.cli.template import Template, TemplateError

DATA = {
    "Name": "box",
    "Size": 5,
    "Live": True,
    "Ratio": 0.5,
    "Nothing": None,
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a": "1"}, "Empty": []},
    "Label": lambda name: f"<{name}>",
}

# The right-hand sides are what Go's text/template prints, with docker's functions.
GOOD = [
    ("plain", "plain"),
    ("{{.Name}}", "box"),
    ("{{ .Config.Env }}", "[A=1 B=2]"),
    ("{{.Config.Labels}}", "map[a:1 b:2]"),
    ("{{.Live}} {{.Nothing}} {{.Ratio}}", "true <no value> 0.5"),
    ("{{json .Config}}", '{"Env":["A=1","B=2"],"Labels":{"b":"2","a":"1"},"Empty":[]}'),
    ("{{.Name | json}}", '"box"'),
    ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
    ("{{range .Config.Empty}}x{{else}}none{{end}}", "none"),
    ("{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "A=1, B=2"),
    ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
    ("{{range $e := .Config.Env}}{{$e}}{{$.Name}}{{end}}", "A=1boxB=2box"),
    ("{{if .Nothing}}a{{else if eq .Size 5}}b{{else}}c{{end}}", "b"),
    ("{{if and .Live (gt .Size 4)}}yes{{end}}", "yes"),
    ("{{if not .Config.Empty}}empty{{end}}", "empty"),
    ("{{with .Config}}{{len .Env}}{{end}}", "2"),
    ("{{with .Nothing}}x{{else}}{{.Name}}{{end}}", "box"),
    ("{{with $x := .Size}}{{$x}}{{end}}", "5"),
    ("{{$x := .Size}}{{$x}}{{$x = 6}}{{$x}}", "56"),
    ('{{index .Config.Labels "a"}}{{index .Config.Env 1}}', "1B=2"),
    ('{{.Config.Labels.nobody}}|{{index .Config.Labels "nobody"}}', "<no value>|"),
    ("{{(index .Config.Env 0) | lower}}", "a=1"),
    ('{{join .Config.Env ","}}', "A=1,B=2"),
    ('{{split "a,b" ","}}', "[a b]"),
    ('{{upper .Name}} {{title "ab cd"}} {{truncate .Name 2}} [{{pad .Name 1 2}}]', "BOX Ab Cd bo [ box  ]"),
    (
        '{{printf "%s-%d %q %5.2f %-5s|%05d %v" .Name .Size .Name .Ratio "ab" 42 .Live}}',
        'box-5 "box"  0.50 ab   |00042 true',
    ),
    ('{{.Name | printf "%s %s" "a"}}', "a box"),
    ('{{printf "%d" .Name}}{{printf "%s"}}', "%!d(box)%!s(MISSING)"),
    ("{{println .Name .Size}}", "box 5\n"),
    ("{{print 1 2 .Name}}", "1 2box"),
    ('{{eq .Name "a" "box"}} {{ne 1 2}} {{lt 1 2}} {{ge 1 2}} {{or .Nothing "x"}}', "true true true false x"),
    ("{{slice .Name 1}}", "ox"),
    ('{{.Label "x"}}', "<x>"),
    ("a {{- .Name -}} b", "aboxb"),
    ("a{{/* a comment */}}b{{- /* another */ -}} c", "abc"),
    ('{{"}}"}}{{`{{`}}', "}}{{"),
    ('{{"tab\\tnew\\u00e9"}}', "tab\tnewé"),
]


@pytest.mark.parametrize(("text", "result"), GOOD)
def test_a_template_prints_what_go_prints(text, result):
    assert Template(text).render(DATA) == result


BAD = [
    ("{{.Nope}}", "no field 'Nope'; there are Name, Size"),
    ("{{.Name.X}}", "can't evaluate field 'X'"),
    ("{{.Nothing.X}}", "nil has no field"),
    ("{{.Name", "unclosed action"),
    ("{{foo}}", "function 'foo' not defined"),
    ("{{if .Name}}", "an {{end}} is missing"),
    ("{{end}}", "unexpected {{end}}"),
    ("{{else}}", "unexpected {{else}}"),
    ("{{}}", "an empty action"),
    ("{{.Name | }}", "an operand is missing"),
    ("{{(.Name}}", "unclosed parenthesis"),
    ("{{.Name)}}", "unexpected"),
    ("{{index .Config.Env 9}}", "index out of range"),
    ("{{range .Name}}{{end}}", "can't iterate"),
    ("{{$x}}", "undefined variable"),
    ("{{lt 1 .Name}}", "incompatible types"),
    ("{{join .Name}}", "join wants a list"),
    ("{{.Name 1}}", "can't give an argument"),
    ("{{len .Size}}", "error calling len"),
    ('{{template "x"}}', "not supported"),
    ("{{.Name.__class__}}", "can't evaluate field"),
    ("{{#}}", "can't read"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_wrong_template_is_a_clear_error_on_one_line(text, message):
    with pytest.raises(TemplateError) as caught:
        Template(text).render(DATA)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
